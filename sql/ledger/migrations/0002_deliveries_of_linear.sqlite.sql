-- What came from Linear is forgotten after a while, the oldest first.
CREATE INDEX idx_delivery_log_linear
    ON delivery_log (delivered_at_ms)
 WHERE substr(channel, 1, 7) = 'linear-';
