"""No token, cookie, password or one-time code is shown anywhere, whatever goes wrong."""
