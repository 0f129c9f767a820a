"""Views: the seam's toolkits, each headless and real."""
