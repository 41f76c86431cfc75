"""What may run on this box: releases side by side, one link that says which, and the gate before it."""
