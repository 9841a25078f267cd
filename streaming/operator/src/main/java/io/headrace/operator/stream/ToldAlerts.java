package io.headrace.operator.stream;

import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HashMap;
import java.util.Map;

/** The last that was told about events whose decisions may be made again. */
final class ToldAlerts {
    private static final long RETRACTED = 0;

    private final Map<Place, Told> told = new HashMap<>();

    /**
     * The last that was told about an event.
     *
     * @param id its dedup key: a topic that was made anew has other events at the same places
     * @param mark of the alert, or that it was taken back
     */
    private record Told(String id, long mark) {}

    /** Takes an alert or a retraction down; later ones of an event take the place of earlier ones. */
    void add(Place place, String id, byte[] value, boolean retracted) {
        told.put(place, new Told(id, retracted ? RETRACTED : mark(value)));
    }

    /** What there is to tell about an event that is decided again. */
    enum Todo {
        /** It is as it was told, or there was nothing and there is nothing. */
        NOTHING,
        /** It is flagged, and that isn't the last that was told. */
        ALERT,
        /** It isn't flagged, but the last that was told is that it is. */
        RETRACTION
    }

    /**
     * Compares with what was told, and forgets that.
     *
     * @param alert the alert if the event is flagged now, else null
     */
    Todo todo(Place place, String id, byte[] alert) {
        Told last = told.isEmpty() ? null : told.remove(place);
        long mark = last == null || !last.id.equals(id) ? RETRACTED : last.mark;
        if (alert == null) {
            return mark == RETRACTED ? Todo.NOTHING : Todo.RETRACTION;
        }
        return mark != mark(alert) ? Todo.ALERT : Todo.NOTHING;
    }

    /** Forgets all. */
    void clear() {
        told.clear();
    }

    private static long mark(byte[] value) {
        try {
            return ByteBuffer.wrap(MessageDigest.getInstance("SHA-256").digest(value)).getLong() | 1;
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException("every Java has SHA-256", error);
        }
    }
}
