"""The records of what exists, and how `towline apply` changes them."""
