-- What one server tells the others (store/bus.h).

-- name: bus_tell :one (message text)
-- Announces a message to every server on this database.
SELECT pg_notify('chronicle', $1);
