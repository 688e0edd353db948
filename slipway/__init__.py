"""What other systems import: `slipway.client`. It needs nothing else of the platform."""
