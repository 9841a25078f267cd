package io.headrace.operator.state;

import java.io.IOException;
import java.util.List;
import java.util.stream.Stream;

/**
 * The blocks of single events: of days ("r"), hours ("x"), minutes ("y") and seconds ("z").
 *
 * <p>Each event changes one block, which is written anew as a whole. So that this stays small, what
 * has more events than the limit is divided: all finer blocks are put, then the coarse one without
 * content, so that a reader, for whom a coarse block hides the finer ones, sees everything once in
 * between. How far a range is divided follows from how many events it has, which only rises: an
 * event that belongs to a range of which the state lacks some stands alone.
 */
final class EventBlocks {
    static final byte[] NOTHING = {};

    /** Ranges of one length, and by what letter their blocks go. */
    private record Level(char letter, long widthMs) {
        long index(long time) {
            return Math.floorDiv(time, widthMs);
        }

        long start(long time) {
            return index(time) * widthMs;
        }

        long end(long time) {
            return start(time) + widthMs;
        }

        String field(long time) {
            return letter + Long.toString(index(time));
        }
    }

    // The coarsest first.
    private final List<Level> levels;
    private final int most;
    private final FieldPacker packer;

    /** Blocks as coarse as the state of a view holds them whole. */
    EventBlocks(TileWidths widths, FieldLimits limits, Retention retention, FieldPacker packer) {
        Level finest = new Level('z', widths.secondMs());
        Stream<Level> coarser =
                Stream.of(
                                new Level('r', widths.dayMs()),
                                new Level('x', widths.hourMs()),
                                new Level('y', widths.minuteMs()))
                        .filter(level -> retention.holdsWhole(level.widthMs()));
        levels = Stream.concat(coarser, Stream.of(finest)).toList();
        most = limits.blockEvents();
        this.packer = packer;
    }

    /** When the coarsest range of a time begins that can be a block. */
    long coarsestStart(long time) {
        return levels.get(0).start(time);
    }

    /** The blocks that an event has changed which was just taken in, and doesn't stand alone. */
    void absorbed(RawEvents raw, long time, FieldSink sink) throws IOException {
        int depth = 0;
        // What had no more before the event came was a block until now.
        while (isDivided(raw, depth, time, most + 1)) {
            depth++;
        }
        Level level = levels.get(depth);
        int from = raw.firstAtOrAfter(level.start(time));
        int to = raw.firstAtOrAfter(level.end(time));
        if (isDivided(raw, depth, time, most)) {
            divide(raw, from, to, depth + 1, sink);
            sink.put(level.field(time), NOTHING);
        } else {
            sink.put(level.field(time), packer.events(raw, from, to, false));
        }
    }

    private boolean isDivided(RawEvents raw, int depth, long time, int limit) {
        Level level = levels.get(depth);
        return depth < levels.size() - 1
                && raw.hasMore(limit, level.start(time), level.end(time));
    }

    private void divide(RawEvents raw, int from, int to, int depth, FieldSink sink)
            throws IOException {
        Level level = levels.get(depth);
        int row = from;
        while (row < to) {
            long time = raw.time(row);
            int end = raw.firstAtOrAfter(level.end(time));
            if (isDivided(raw, depth, time, most)) {
                divide(raw, row, end, depth + 1, sink);
            } else {
                sink.put(level.field(time), packer.events(raw, row, end, false));
            }
            row = end;
        }
    }
}
