package io.headrace.operator.state;

import io.headrace.operator.plan.ViewPlan;
import java.io.IOException;
import java.io.UncheckedIOException;

/**
 * The fields of the online state that an event changes.
 *
 * <p>Events are in blocks ("y"), of which each event changes one. An hour that can't be asked about
 * any more gets a tile ("h") as well, and a day likewise ("d"); events that become known only after
 * a window may span their tile whole stand beside it ("s"). An event that comes when others of its
 * time are folded away or dropped, so that their fields can't be made again, is in a block of its
 * own ("l"), and in no other field. What stands beside a tile is put before it, so that a reader in
 * between sees everything once.
 */
final class ChangedFields {
    private final TileWidths widths;
    private final FieldPacker packer;

    ChangedFields(ViewPlan view, TileWidths widths) {
        this.widths = widths;
        packer = new FieldPacker(view, widths);
    }

    /** Whether an event, which is not in the state yet, will have to stand in a block of its own. */
    boolean standsAlone(ViewState state, long time) {
        long whole =
                time < state.tiledTo
                        ? widths.day(time) * widths.dayMs()
                        : widths.block(time) * widths.blockMs();
        return time < state.foldedTo || whole < state.heldFrom;
    }

    /** The fields that an event has changed which was just taken in. */
    void absorbed(ViewState state, long time, boolean alone, FieldSink sink) {
        long block = widths.block(time);
        int from = state.raw.firstAtOrAfter(block * widths.blockMs());
        int to = state.raw.firstAtOrAfter((block + 1) * widths.blockMs());
        try {
            sink.put((alone ? "l" : "y") + block, packer.events(state.raw, from, to, alone));
            if (!alone && time < state.tiledTo) {
                hour(state, widths.hour(time), sink);
                if ((widths.day(time) + 1) * widths.dayMs() <= state.tiledTo) {
                    day(state, widths.day(time), sink);
                }
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** The tiles of hours and days that have ended before a time since the last call. */
    void close(ViewState state, long earliest, FieldSink sink) {
        long before = state.tiledTo;
        long end = widths.hour(earliest) * widths.hourMs();
        if (end <= before) {
            return;
        }
        state.tiledTo = end;
        RawEvents raw = state.raw;
        try {
            int row = raw.firstAtOrAfter(Math.max(before, state.heldFrom));
            while (row < raw.size() && raw.time(row) < end) {
                long hour = widths.hour(raw.time(row));
                hour(state, hour, sink);
                row = raw.firstAtOrAfter((hour + 1) * widths.hourMs());
            }
            row = raw.firstAtOrAfter(widths.day(before) * widths.dayMs());
            while (row < raw.size() && (widths.day(raw.time(row)) + 1) * widths.dayMs() <= end) {
                long day = widths.day(raw.time(row));
                day(state, day, sink);
                row = raw.firstAtOrAfter((day + 1) * widths.dayMs());
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private void hour(ViewState state, long hour, FieldSink sink) throws IOException {
        long start = hour * widths.hourMs();
        if (widths.day(start) * widths.dayMs() < state.heldFrom) {
            return;
        }
        int from = state.raw.firstAtOrAfter(start);
        int to = state.raw.firstAtOrAfter(start + widths.hourMs());
        beside(state, widths.day(start), sink);
        sink.put("h" + hour, packer.tile(state.raw, from, to));
    }

    private void day(ViewState state, long day, FieldSink sink) throws IOException {
        long start = day * widths.dayMs();
        if (start < state.heldFrom) {
            return;
        }
        int from = state.raw.firstAtOrAfter(start);
        int to = state.raw.firstAtOrAfter(start + widths.dayMs());
        sink.put("d" + day, packer.tile(state.raw, from, to));
    }

    private void beside(ViewState state, long day, FieldSink sink) throws IOException {
        int from = state.raw.firstAtOrAfter(day * widths.dayMs());
        int to = state.raw.firstAtOrAfter((day + 1) * widths.dayMs());
        byte[] late = packer.late(state.raw, from, to);
        if (late != null) {
            sink.put("s" + day, late);
        }
    }
}
