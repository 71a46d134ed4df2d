"""Words every layer shares: value types, events, errors, time. No I/O and no third-party library."""
