package io.headrace.operator.state;

import java.io.IOException;

/**
 * The tiles of hours ("h") and days ("d") that have ended, where they have many events.
 *
 * <p>Events that become known only after a window may span their tile whole stand beside it ("s"),
 * and are put before it, so that a reader in between sees everything once. Tiles are of days of
 * which the state holds all: what stands beside them is written for a day.
 */
final class EndedTiles {
    private final TileWidths widths;
    private final FieldLimits limits;
    private final FieldPacker packer;

    EndedTiles(TileWidths widths, FieldLimits limits, FieldPacker packer) {
        this.widths = widths;
        this.limits = limits;
        this.packer = packer;
    }

    /** The tiles that an event belongs to which was just taken in, and doesn't stand alone. */
    void absorbed(ViewState state, long time, FieldSink sink) throws IOException {
        if (time < state.tiledTo) {
            long hour = widths.hour(time) * widths.hourMs();
            day(state, widths.dayStart(time), hour, hour + widths.hourMs(), sink);
        }
    }

    /** The tiles of hours and days that have ended before a time since the last call. */
    void close(ViewState state, long earliest, FieldSink sink) throws IOException {
        long before = state.tiledTo;
        long end = widths.hour(earliest) * widths.hourMs();
        if (end <= before) {
            return;
        }
        state.tiledTo = end;
        RawEvents raw = state.raw;
        long first = widths.dayStart(before);
        if (first < state.heldFrom) {
            first = widths.dayStart(state.heldFrom - 1) + widths.dayMs();
        }
        int row = raw.firstAtOrAfter(first);
        while (row < raw.size() && raw.time(row) < end) {
            long start = widths.dayStart(raw.time(row));
            day(state, start, Math.max(start, before), Math.min(start + widths.dayMs(), end), sink);
            row = raw.firstAtOrAfter(start + widths.dayMs());
        }
    }

    /** The tiles of hours of a day within a span that has ended, and, if it has too, of the day. */
    private void day(ViewState state, long start, long from, long to, FieldSink sink)
            throws IOException {
        RawEvents raw = state.raw;
        boolean beside = false;
        int row = raw.firstAtOrAfter(from);
        int after = raw.firstAtOrAfter(to);
        while (row < after) {
            long hour = widths.hour(raw.time(row));
            int end = raw.firstAtOrAfter((hour + 1) * widths.hourMs());
            if (packer.isTiled(raw, row, end, limits.blockEvents())) {
                beside = beside || beside(raw, start, sink);
                sink.put("h" + hour, packer.tile(raw, row, end));
            }
            row = end;
        }
        long next = start + widths.dayMs();
        if (next > state.tiledTo || !raw.hasMore(limits.untiledEvents(), start, next)) {
            return;
        }
        int first = raw.firstAtOrAfter(start);
        int last = raw.firstAtOrAfter(next);
        if (packer.isTiled(raw, first, last, limits.untiledEvents())) {
            beside = beside || beside(raw, start, sink);
            sink.put("d" + widths.day(start), packer.tile(raw, first, last));
        }
    }

    private boolean beside(RawEvents raw, long start, FieldSink sink) throws IOException {
        int from = raw.firstAtOrAfter(start);
        int to = raw.firstAtOrAfter(start + widths.dayMs());
        byte[] late = packer.late(raw, from, to);
        if (late != null) {
            sink.put("s" + widths.day(start), late);
        }
        return true;
    }
}
