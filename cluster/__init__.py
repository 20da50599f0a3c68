"""Where work runs: the only package that knows how Ray is started and asked for resources."""
