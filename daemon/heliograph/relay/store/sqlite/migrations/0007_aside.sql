-- Pushes that failed several times, so that those behind them go first (ASIDE_AFTER in model/hold.py).
CREATE INDEX pushes_aside ON pushes (hidden_pushkey, due_ms) WHERE outcome IS NULL AND refusals >= 3;
