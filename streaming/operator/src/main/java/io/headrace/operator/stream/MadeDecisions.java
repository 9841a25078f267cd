package io.headrace.operator.stream;

import java.util.HashMap;
import java.util.Map;

/** Decisions that former runs have committed: which event each is about, at four bytes a place. */
final class MadeDecisions {
    private static final int CHUNK_BITS = 10;
    private static final int CHUNK = 1 << CHUNK_BITS;

    private final Map<Place, int[]> chunks = new HashMap<>();

    /** Takes one down. */
    void add(Place place, String id) {
        chunks.computeIfAbsent(chunk(place), missing -> new int[CHUNK])[within(place)] = mark(id);
    }

    /**
     * Whether one was made about an event.
     *
     * <p>Its id has to be the same as well: a topic that was made anew has other events at the same
     * places.
     */
    boolean contains(Place place, String id) {
        int[] chunk = chunks.isEmpty() ? null : chunks.get(chunk(place));
        return chunk != null && chunk[within(place)] == mark(id);
    }

    /** Forgets all. */
    void clear() {
        chunks.clear();
    }

    private static Place chunk(Place place) {
        return new Place(place.partition(), place.offset() >>> CHUNK_BITS);
    }

    private static int within(Place place) {
        return (int) place.offset() & (CHUNK - 1);
    }

    /** Never 0, which stands for no decision. */
    private static int mark(String id) {
        int hash = id.hashCode();
        return hash == 0 ? 1 : hash;
    }
}
