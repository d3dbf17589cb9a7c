"""The only package that talks to a database driver."""
