"""What box this is and how it fares: board, JetPack, what is installed, power, clocks, heat; read from files."""
