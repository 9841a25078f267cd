package io.headrace.operator.state;

import io.headrace.operator.plan.ViewPlan;
import java.io.IOException;
import java.io.UncheckedIOException;

/**
 * The fields of the online state that an event changes.
 *
 * <p>Each event is in a block of single events ({@link EventBlocks}). What can't be asked about any
 * more gets tiles as well ({@link EndedTiles}). An event that comes when others of its time are
 * folded away or dropped, so that their fields can't be made again, is in a block of its own, one
 * for each minute ("l"), and in no other field. Of events that are in none of them, as they were
 * too old or too many, one field ("m") tells up to when they were.
 */
final class ChangedFields {
    private final TileWidths widths;
    private final FieldPacker packer;
    private final EventBlocks blocks;
    private final EndedTiles tiles;

    ChangedFields(ViewPlan view, TileWidths widths, FieldLimits limits, Retention retention) {
        this.widths = widths;
        packer = new FieldPacker(view, widths);
        blocks = new EventBlocks(widths, limits, retention, packer);
        tiles = new EndedTiles(widths, limits, packer);
    }

    /**
     * Whether an event, which is not in the state yet, will have to stand in a block of its own.
     *
     * <p>What it changes is divided anew, or written anew beside a tile, for all of a range. Of that
     * only ever more is dropped or folded, so where one event stands alone, all later ones do.
     */
    boolean standsAlone(ViewState state, long time) {
        long whole = time < state.tiledTo ? widths.dayStart(time) : blocks.coarsestStart(time);
        return time < state.foldedTo || whole < state.heldFrom;
    }

    /** The fields that an event has changed which was just taken in. */
    void absorbed(ViewState state, long time, boolean alone, FieldSink sink) {
        try {
            if (alone) {
                alone(state.raw, widths.minute(time), sink);
            } else {
                blocks.absorbed(state.raw, time, sink);
                tiles.absorbed(state, time, sink);
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** The tiles of hours and days that have ended before a time since the last call. */
    void close(ViewState state, long earliest, FieldSink sink) {
        try {
            tiles.close(state, earliest, sink);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /**
     * Tells that the fields lack events.
     *
     * @param time none of them is newer, ms
     * @param known by then each of them was known, ms
     */
    void lacking(ViewState state, long time, long known, FieldSink sink) {
        state.lacking = Math.max(state.lacking, time);
        state.lackingKnown = Math.max(state.lackingKnown, known);
        try {
            sink.put("m", packer.lacking(state.lacking, state.lackingKnown));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private void alone(RawEvents raw, long minute, FieldSink sink) throws IOException {
        int from = raw.firstAtOrAfter(minute * widths.minuteMs());
        int to = raw.firstAtOrAfter((minute + 1) * widths.minuteMs());
        sink.put("l" + minute, packer.events(raw, from, to, true));
    }
}
