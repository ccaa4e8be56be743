"""One file a format in which rollouts are left behind; `imports.registry` lists them."""
