"""YAML with the line of every value: towline.yaml, and AppSpecs as AWS's agent reads them."""
