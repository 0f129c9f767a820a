"""``python -m reactive_auth``"""

import sys

from .cli import main

sys.exit(main())
