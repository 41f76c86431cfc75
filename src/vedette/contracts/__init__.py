"""Values that cross a process or a world: frozen, versioned on the wire, without I/O."""
