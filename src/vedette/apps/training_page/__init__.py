"""`vedette train --show`: the report of a run while it trains, in a browser."""
