"""Node types: declared once as typed functions, printed in every dialect, run by any engine."""
