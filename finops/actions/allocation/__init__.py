"""Rules of allocation: kept, applied to bills and hardware, and frozen into statements."""
