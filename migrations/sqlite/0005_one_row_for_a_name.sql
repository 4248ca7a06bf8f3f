-- Nothing: no old server runs beside the gateway on an SQLite file, and of our own registrations one makes the row.
SELECT 1;
