"""How fast the API is. Each round is a module's function that takes a `Stand`; `__main__` lists them."""
