"""Labels that a person checked: drawing particles to check, entering them, keeping them apart."""
