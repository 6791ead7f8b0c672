"""Joint commands and reports over LCM."""
