"""The gateway's deeds: frozen dataclasses of ports, a method per deed; they know neither HTTP nor the bus."""
