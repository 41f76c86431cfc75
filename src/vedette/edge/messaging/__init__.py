"""From events to brokers and files. A sink that is down never slows the video."""
