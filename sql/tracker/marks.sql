-- Marks: single facts about the database itself, by name.

-- name: value :value
-- uses: primary key
SELECT value
  FROM marks
 WHERE name = :name;

-- name: raise :run
-- uses: primary key
-- Sets a mark; it never falls.
INSERT INTO marks (name, value)
VALUES (:name, :value)
    ON CONFLICT (name) DO UPDATE
   SET value = CASE WHEN excluded.value > marks.value THEN excluded.value ELSE marks.value END;
