-- What one server tells the others (store/bus.h).

-- name: bus_tell :one (message text)
-- Announces a message to every server on this database.
SELECT pg_notify('chronicle', $1);

-- name: bus_tell_all :exec (messages text[])
-- Announces messages, in order.
SELECT count(pg_notify('chronicle', m)) FROM unnest($1::text[]) m;

-- name: parcel_put :exec (id uuid, data bytea)
-- What is too long to be announced; its id is.
INSERT INTO realtime_parcels (id, data) VALUES ($1, $2);

-- name: parcel_get :one (id uuid)
SELECT encode(data, 'hex') AS data FROM realtime_parcels WHERE id = $1;

-- name: parcel_sweep :exec ()
-- What was for others has been read by now.
DELETE FROM realtime_parcels WHERE created_at < now() - interval '1 minute';
