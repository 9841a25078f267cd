package io.headrace.operator.state;

import io.headrace.operator.aggregate.Accumulator;
import io.headrace.operator.aggregate.Accumulators;
import io.headrace.operator.packed.PackedReader;
import io.headrace.operator.packed.PackedWriter;
import io.headrace.operator.plan.ViewPlan;

/** Writes and reads the state of one view; the layout begins with its version. */
final class ViewStateCodec {
    static final int VERSION = 5;

    private final ViewPlan view;
    private final int chunkEvents;
    private final EventColumnsCodec events;

    ViewStateCodec(ViewPlan view, int chunkEvents) {
        this.view = view;
        this.chunkEvents = chunkEvents;
        events = new EventColumnsCodec(view.columns());
    }

    /** The state of an entity without events. */
    ViewState newState() {
        return new ViewState(view, chunkEvents);
    }

    void write(PackedWriter out, ViewState state) {
        out.natural(VERSION);
        out.natural(state.sequence);
        writeTime(out, state.clock, 0);
        writeTime(out, state.heldFrom, state.clock);
        writeTime(out, state.foldedTo, state.clock);
        writeTime(out, state.tiledTo, state.clock);
        writeTime(out, state.expiredTo, state.clock);
        writeTime(out, state.refused, state.clock);
        writeTime(out, state.lacking, state.clock);
        writeTime(out, state.lackingKnown, state.clock);
        out.natural(state.knownFrom == null ? 0 : state.knownFrom.length);
        for (int i = 0; state.knownFrom != null && i < state.knownFrom.length; i++) {
            writeTime(out, state.knownFrom[i], state.clock);
        }
        out.natural(state.foldAt);
        events.write(out, state.raw.tail);
        out.natural(state.raw.nextNumber);
        out.natural(state.raw.chunks.size());
        long before = 0;
        for (Chunk chunk : state.raw.chunks) {
            writeChunk(out, chunk, before);
            before = chunk.last;
        }
        out.natural(state.folded.size());
        for (FoldedTile tile : state.folded) {
            out.integer(tile.first);
            out.integer(tile.last - tile.first);
            for (Accumulator partial : tile.partials) {
                partial.write(out);
            }
        }
    }

    /** Reads what was written into the state of an entity without events. */
    void read(PackedReader in, ViewState state) {
        long version = in.natural();
        if (version != VERSION) {
            throw new IllegalArgumentException(
                    "state of view "
                            + view.name()
                            + " is packed in version "
                            + version
                            + ", this release reads "
                            + VERSION);
        }
        state.sequence = in.natural();
        state.clock = readTime(in, 0);
        state.heldFrom = readTime(in, state.clock);
        state.foldedTo = readTime(in, state.clock);
        state.tiledTo = readTime(in, state.clock);
        state.expiredTo = readTime(in, state.clock);
        state.refused = readTime(in, state.clock);
        state.lacking = readTime(in, state.clock);
        state.lackingKnown = readTime(in, state.clock);
        int known = in.count();
        if (known > 0) {
            state.knownFrom = new long[known];
            for (int i = 0; i < known; i++) {
                state.knownFrom[i] = readTime(in, state.clock);
            }
        }
        state.foldAt = in.count();
        state.raw.tail = events.read(in);
        state.raw.nextNumber = in.count();
        long before = 0;
        for (int left = in.count(); left > 0; left--) {
            Chunk chunk = readChunk(in, before);
            before = chunk.last;
            state.raw.chunks.add(chunk);
        }
        state.raw.counted();
        for (int left = in.count(); left > 0; left--) {
            long first = in.integer();
            long last = first + in.integer();
            state.folded.add(new FoldedTile(first, last, readPartials(in)));
        }
    }

    // Most of them are near the clock, or not there.
    private static void writeTime(PackedWriter out, long time, long clock) {
        out.truth(time != ViewState.NO_CLOCK);
        if (time != ViewState.NO_CLOCK) {
            out.integer(time - clock);
        }
    }

    private static long readTime(PackedReader in, long clock) {
        return in.truth() ? clock + in.integer() : ViewState.NO_CLOCK;
    }

    private static void writeChunk(PackedWriter out, Chunk chunk, long before) {
        out.natural(chunk.number);
        out.natural(chunk.size);
        out.integer(chunk.first - before);
        out.integer(chunk.last - chunk.first);
        out.integer(chunk.mostAvailable - chunk.last);
        out.truth(chunk.partials != null);
        if (chunk.partials != null) {
            for (Accumulator partial : chunk.partials) {
                partial.write(out);
            }
        }
    }

    private Chunk readChunk(PackedReader in, long before) {
        Chunk chunk = new Chunk(in.count());
        chunk.size = in.count();
        chunk.first = before + in.integer();
        chunk.last = chunk.first + in.integer();
        chunk.mostAvailable = chunk.last + in.integer();
        if (in.truth()) {
            chunk.partials = readPartials(in);
        }
        return chunk;
    }

    private Accumulator[] readPartials(PackedReader in) {
        Accumulator[] partials = Accumulators.of(view);
        for (Accumulator partial : partials) {
            partial.read(in);
        }
        return partials;
    }
}
