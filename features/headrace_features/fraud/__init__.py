"""The built-in project: card-fraud detection, used where there is no headrace.toml."""
