"""The longer statements of the embedded online store."""

from __future__ import annotations

CURRENT = """
SELECT id, boundary_ms, written_ms, whole_ms, known_ms, tiles, base, pending FROM generation
WHERE view = ? AND state = 'current'
"""
LAYERS = """
SELECT g.id, g.boundary_ms, g.written_ms, g.whole_ms, g.known_ms, g.tiles, g.base, g.pending,
    s.epoch, s.since_ms, s.event_time_ms, s.written_ms, s.current_ms
FROM (SELECT ? AS key) AS asked
LEFT JOIN generation AS g ON g.view = asked.key AND g.state = 'current'
LEFT JOIN stream_span AS s ON s.view = asked.key
"""
APPLY = """
INSERT INTO stream (view, entity, field, epoch, sequence, content) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE
SET epoch = excluded.epoch, sequence = excluded.sequence, content = excluded.content
WHERE (excluded.epoch, excluded.sequence) >= (epoch, sequence)
"""
TOUCH = """
INSERT INTO stream_span (view, epoch, since_ms, event_time_ms, written_ms) VALUES (?, -1, ?, ?, ?)
ON CONFLICT DO UPDATE
SET event_time_ms = max(event_time_ms, excluded.event_time_ms),
    written_ms = max(written_ms, excluded.written_ms)
"""
COVERS = """
INSERT INTO stream_span (view, epoch, since_ms, event_time_ms, written_ms)
VALUES (?, ?, ?, ?, 0)
ON CONFLICT DO UPDATE
SET epoch = excluded.epoch, since_ms = excluded.since_ms,
    current_ms = iif(excluded.epoch > epoch, 0, current_ms)
WHERE (excluded.epoch, excluded.since_ms) > (epoch, since_ms)
"""
CAUGHT_UP = """
UPDATE stream_span SET current_ms = max(current_ms, ?) WHERE view = ? AND epoch = ?
"""
BEGIN = """
INSERT INTO generation (id, view, boundary_ms, base, holder, until_ms, state)
SELECT number, ?, ?, coalesce(?, number), ?, ?, 'building' FROM (
    SELECT 1 + max(?, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'generation'), 0))
        AS number
)
RETURNING id, base
"""
BATCH_ENTITIES = """
SELECT DISTINCT entity FROM batch WHERE view = ? AND entity > ? ORDER BY entity LIMIT ?
"""
STREAM_ENTITIES = """
SELECT DISTINCT entity FROM stream WHERE view = ? AND entity > ? ORDER BY entity LIMIT ?
"""
CONTENTS = """
SELECT entity, field, content FROM stream
WHERE view = ? AND (entity, field) > (?, ?) AND length(content) > 0
ORDER BY entity, field LIMIT ?
"""
SWEPT_FIELDS = """
SELECT entity, field, content FROM stream WHERE view = ? AND entity > ? AND entity <= ?
"""
# In the order of their keys, which is that of the rows that they come to.
DIFFERING = """
SELECT entity, field, content FROM differing WHERE view = ? AND generation = ?
ORDER BY entity, field LIMIT ?
"""
PUT = """
INSERT OR REPLACE INTO batch (view, entity, field, generation, content) VALUES (?, ?, ?, ?, ?)
"""
GONE = """
DELETE FROM batch WHERE view = ? AND entity = ? AND field = ? AND generation = ?
"""
DONE_WITH = """
DELETE FROM differing WHERE view = ? AND generation = ? AND (entity, field) <= (?, ?)
"""
PUBLISH = """
UPDATE generation
SET state = 'current', written_ms = ?, whole_ms = ?, known_ms = ?, tiles = ?, pending = base < id
WHERE id = ?
"""
INCLUDED = "SELECT views FROM included WHERE namespace = ?"
INCLUDE = "INSERT OR REPLACE INTO included (namespace, views) VALUES (?, ?)"
PROGRESS = "SELECT partition, next_offset, current_ms FROM progress WHERE namespace = ?"
OFFSET = "SELECT next_offset FROM progress WHERE namespace = ? AND partition = ?"
ADVANCE = """
INSERT OR REPLACE INTO progress (namespace, partition, next_offset, current_ms)
VALUES (?, ?, ?, ?)
"""
FORGET = "DELETE FROM progress WHERE namespace = ?"
VERSIONS = "SELECT number, content FROM versions"
VERSIONS_NUMBER = "SELECT number FROM versions"
NOTE_VERSIONS = "UPDATE versions SET number = number + 1, content = ? WHERE number = ?"
