package io.headrace.operator.state;

import io.headrace.operator.aggregate.Accumulator;
import io.headrace.operator.aggregate.Accumulators;
import io.headrace.operator.plan.ViewPlan;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The single events of one entity in a view, in the order of their time.
 *
 * <p>The newest are kept with the state. Where there are many, the others are in chunks of their
 * own, which are only read where one of their events is needed: each tells what it comes to.
 */
final class RawEvents {
    final List<Chunk> chunks = new ArrayList<>();
    EventColumns tail;
    int nextNumber;
    // Chunks that are in the store, and not in the state any more.
    private final List<Integer> gone = new ArrayList<>(0);
    private final ViewPlan view;
    private final int chunkEvents;
    private ChunkStore store;
    private int chunked;
    // The chunk that a row was last looked for in: its place, its first row and the row after it.
    private int place = -1;
    private int from;
    private int to;

    /**
     * No events.
     *
     * @param chunkEvents how many a new chunk has at least, see `target`
     */
    RawEvents(ViewPlan view, int chunkEvents) {
        this.view = view;
        this.chunkEvents = chunkEvents;
        tail = new EventColumns(view.columns());
    }

    /** Where chunks are from now on. */
    void bind(ChunkStore of) {
        store = of;
    }

    /** Stores the chunks that have changed, and lets go of all. */
    void release() {
        for (Chunk chunk : chunks) {
            if (chunk.changed) {
                store.save(chunk.number, PackedEvents.of(chunk.events));
                chunk.changed = false;
            }
            chunk.events = null;
        }
        gone.forEach(store::delete);
        gone.clear();
        place = -1;
    }

    /**
     * How many events a new chunk has; what has twice as many is divided.
     *
     * <p>For each event all that chunks come to is read, and the events of a few of them: with the
     * root of all events in each, both grow as slowly as they can together.
     */
    private int target() {
        return Math.max(chunkEvents, (int) Math.sqrt(size()));
    }

    /** Takes over the events of a state that was laid out by an earlier plan. */
    void adopt(RawEvents earlier) {
        tail = earlier.tail.with(view.columns());
        nextNumber = earlier.nextNumber;
        for (Chunk chunk : earlier.chunks) {
            // What it comes to is computed anew when it is needed.
            chunk.partials = null;
            chunks.add(chunk);
        }
        counted();
    }

    /** Notes that chunks were added from outside. */
    void counted() {
        chunked = chunks.stream().mapToInt(chunk -> chunk.size).sum();
        place = -1;
    }

    int size() {
        return chunked + tail.size();
    }

    long time(int row) {
        return columns(row).time(local(row));
    }

    long available(int row) {
        return columns(row).available(local(row));
    }

    /** By when all events are known, or a later time; none without events. */
    long mostAvailable() {
        long most = ViewState.NO_CLOCK;
        for (Chunk chunk : chunks) {
            most = Math.max(most, chunk.mostAvailable);
        }
        for (int row = 0; row < tail.size(); row++) {
            most = Math.max(most, tail.available(row));
        }
        return most;
    }

    byte[] dedup(int row) {
        return columns(row).dedup(local(row));
    }

    Object value(int column, int row) {
        return columns(row).value(column, local(row));
    }

    boolean standsAlone(int row) {
        return columns(row).standsAlone(local(row));
    }

    void setAlone(int row) {
        if (row < chunked) {
            chunk(row).changed = true;
        }
        columns(row).setAlone(local(row));
    }

    /** The events among which a row is; `local` tells its place there. */
    EventColumns columns(int row) {
        return row >= chunked ? tail : loaded(chunk(row));
    }

    /** The place of a row among its `columns`. */
    int local(int row) {
        if (row >= chunked) {
            return row - chunked;
        }
        chunk(row);
        return row - from;
    }

    /** The chunk of which a row is the last event; null if there is none. */
    Chunk endingAt(int row) {
        if (row >= chunked || row < 0) {
            return null;
        }
        Chunk found = chunk(row);
        return row == to - 1 ? found : null;
    }

    /** What a chunk's events come to. */
    Accumulator[] partials(Chunk chunk) {
        if (chunk.partials == null) {
            EventColumns events = loaded(chunk);
            Accumulator[] partials = Accumulators.of(view);
            for (int row = 0; row < events.size(); row++) {
                for (Accumulator partial : partials) {
                    partial.absorb(events, row);
                }
            }
            chunk.partials = partials;
        }
        return chunk.partials;
    }

    /** The first row whose event time is not before a time. */
    int firstAtOrAfter(long time) {
        int after = chunked;
        // What is asked for is mostly near the end.
        for (int i = chunks.size() - 1; i >= 0; i--) {
            Chunk chunk = chunks.get(i);
            if (chunk.last < time) {
                break;
            }
            after -= chunk.size;
            if (chunk.first < time) {
                return after + loaded(chunk).firstAtOrAfter(time);
            }
        }
        return after == chunked ? after + tail.firstAtOrAfter(time) : after;
    }

    /** Whether there are more than so many events in a span of time. */
    boolean hasMore(int count, long from, long before) {
        int row = firstAtOrAfter(before) - 1 - count;
        return row >= 0 && !isBefore(row, from);
    }

    /** Whether an event is before a time: its chunk stays packed where it tells by itself. */
    private boolean isBefore(int row, long time) {
        if (row < chunked) {
            Chunk chunk = chunk(row);
            if (chunk.last < time || chunk.first >= time) {
                return chunk.last < time;
            }
        }
        return time(row) < time;
    }

    /** Whether any event stands alone from a time on and up to a row, which is left out. */
    boolean anyAlone(long from, int before) {
        for (int row = firstAtOrAfter(from); row < before; row++) {
            if (standsAlone(row)) {
                return true;
            }
        }
        return false;
    }

    /** The row of an event, or -1. */
    int find(long time, byte[] dedup) {
        for (int row = firstAtOrAfter(time); row < size() && time(row) == time; row++) {
            if (Arrays.equals(dedup, dedup(row))) {
                return row;
            }
        }
        return -1;
    }

    /** Adds an event at its place in the order and returns its row. */
    int insert(long time, long available, byte[] dedup, Object[] values) {
        int into = chunks.size();
        int before = chunked;
        while (into > 0 && time < chunks.get(into - 1).last) {
            into--;
            before -= chunks.get(into).size;
        }
        if (into < chunks.size()) {
            return before + insertInto(into, time, available, dedup, values);
        }
        int row = chunked + tail.insert(time, available, dedup, values);
        int target = target();
        if (tail.size() >= 2 * target) {
            chunks.add(new Chunk(nextNumber++, tail.takeFirst(target)));
            chunked += target;
        }
        return row;
    }

    private int insertInto(int i, long time, long available, byte[] dedup, Object[] values) {
        Chunk chunk = chunks.get(i);
        EventColumns events = loaded(chunk);
        int row = events.insert(time, available, dedup, values);
        if (chunk.partials != null) {
            for (Accumulator partial : chunk.partials) {
                partial.absorb(events, row);
            }
        }
        chunk.changed = true;
        chunk.describe();
        chunked++;
        place = -1;
        int target = target();
        if (chunk.size >= 2 * target) {
            chunks.add(i, new Chunk(nextNumber++, events.takeFirst(target)));
            chunk.partials = null;
            chunk.describe();
        }
        return row;
    }

    /** Takes out the event of a row. */
    void remove(int row) {
        if (row >= chunked) {
            tail.remove(row - chunked);
            return;
        }
        Chunk chunk = chunk(row);
        loaded(chunk).remove(row - from);
        chunked--;
        chunk.partials = null;
        if (chunk.events.size() == 0) {
            chunks.remove(place);
            gone.add(chunk.number);
        } else {
            chunk.changed = true;
            chunk.describe();
        }
        place = -1;
    }

    /** The time of the oldest event; there has to be one. */
    long oldest() {
        return chunks.isEmpty() ? tail.time(0) : chunks.get(0).first;
    }

    /** How many of the oldest events go together: those of a chunk, which stays packed, or one. */
    int oldestEvents() {
        return chunks.isEmpty() ? 1 : chunks.get(0).size;
    }

    /** The time of the last of those that go together. */
    long lastOfOldest() {
        return chunks.isEmpty() ? tail.time(0) : chunks.get(0).last;
    }

    /** Takes out those that go together. */
    void removeOldest() {
        if (chunks.isEmpty()) {
            tail.remove(0);
            return;
        }
        Chunk oldest = chunks.remove(0);
        chunked -= oldest.size;
        gone.add(oldest.number);
        place = -1;
    }

    /** Takes out all events. */
    void clear() {
        for (Chunk chunk : chunks) {
            gone.add(chunk.number);
        }
        chunks.clear();
        chunked = 0;
        place = -1;
        tail.takeFirst(tail.size());
    }

    private Chunk chunk(int row) {
        if (place < 0) {
            place = chunks.size() - 1;
            to = chunked;
            from = to - chunks.get(place).size;
        }
        while (row < from) {
            place--;
            to = from;
            from -= chunks.get(place).size;
        }
        while (row >= to) {
            place++;
            from = to;
            to += chunks.get(place).size;
        }
        return chunks.get(place);
    }

    private EventColumns loaded(Chunk chunk) {
        if (chunk.events == null) {
            chunk.events = store.load(chunk.number).unpacked().with(view.columns());
        }
        return chunk.events;
    }
}
