package io.headrace.operator.state;

import io.headrace.operator.aggregate.Accumulator;
import io.headrace.operator.aggregate.Accumulators;
import io.headrace.operator.aggregate.MessagePacker;
import io.headrace.operator.plan.ViewPlan;
import io.headrace.operator.plan.WindowPlan;
import java.io.IOException;
import java.util.Arrays;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;

/** Packs events and tiles of a view as the online store keeps them. */
final class FieldPacker {
    private static final int ENCODING_VERSION = 3;

    private final ViewPlan view;
    private final TileWidths widths;
    private final int columns;
    private final long[] gaps;
    private final long leastDelay;
    private final MessagePacker out = new MessagePacker();

    FieldPacker(ViewPlan view, TileWidths widths) {
        this.view = view;
        this.widths = widths;
        columns = view.columns().size();
        gaps =
                view.features().stream()
                        .filter(f -> f.window().kind() == WindowPlan.Kind.SESSION)
                        .mapToLong(f -> f.window().gapMs())
                        .sorted()
                        .distinct()
                        .toArray();
        leastDelay =
                view.features().stream().mapToLong(f -> f.window().delayMs()).min().orElse(0);
    }

    /** A block of those rows that stand alone, or of those that don't. */
    byte[] events(RawEvents raw, int from, int to, boolean alone) throws IOException {
        return block(raw, rows(from, to, row -> raw.standsAlone(row) == alone));
    }

    /** A block of those events that are in no tile of their hour; null if there are none. */
    byte[] late(RawEvents raw, int from, int to) throws IOException {
        int[] late = rows(from, to, row -> isLate(raw, row));
        return late.length == 0 ? null : block(raw, late);
    }

    /** Up to when events are left out, and by when each of them was known. */
    byte[] lacking(long time, long known) throws IOException {
        out.array(2);
        out.integer(ENCODING_VERSION);
        out.array(2);
        out.integer(time);
        out.integer(known);
        return out.bytes();
    }

    private static int[] rows(int from, int to, IntPredicate wanted) {
        return IntStream.range(from, to).filter(wanted).toArray();
    }

    /** Whether more than so many rows are in a tile: only then it saves reading them. */
    boolean isTiled(RawEvents raw, int from, int to, int most) {
        int left = most;
        for (int row = from; row < to && to - row > left; row++) {
            if (inTile(raw, row) && --left < 0) {
                return true;
            }
        }
        return false;
    }

    /** The partials of the rows that are in a tile, and for each session gap their chains. */
    byte[] tile(RawEvents raw, int from, int to) throws IOException {
        Accumulator[] partials = Accumulators.of(view);
        absorb(partials, raw, from, to);
        out.array(2);
        out.integer(ENCODING_VERSION);
        out.array(2);
        states(partials);
        out.array(gaps.length);
        for (long gap : gaps) {
            chains(partials, raw, from, to, gap);
        }
        return out.bytes();
    }

    private void chains(
            Accumulator[] partials, RawEvents raw, int from, int to, long gap)
            throws IOException {
        int count = 0;
        int row = next(raw, from, to);
        for (int start = row; start < to; start = row) {
            row = chainEnd(raw, start, to, gap);
            count++;
        }
        out.array(count);
        row = next(raw, from, to);
        while (row < to) {
            int start = row;
            row = chainEnd(raw, start, to, gap);
            for (Accumulator partial : partials) {
                partial.clear();
            }
            absorb(partials, raw, start, row);
            int last = row - 1;
            while (!inTile(raw, last)) {
                last--;
            }
            out.array(3);
            out.integer(raw.time(start));
            out.integer(raw.time(last));
            states(partials);
        }
    }

    /** The first row of the chain after the one that begins at `start`. */
    private int chainEnd(RawEvents raw, int start, int to, long gap) {
        int row = start;
        while (true) {
            int following = next(raw, row + 1, to);
            if (following == to || raw.time(following) - raw.time(row) > gap) {
                return following;
            }
            row = following;
        }
    }

    private int next(RawEvents raw, int from, int to) {
        int row = from;
        while (row < to && !inTile(raw, row)) {
            row++;
        }
        return row;
    }

    private void absorb(
            Accumulator[] partials, RawEvents raw, int from, int to) {
        for (int row = from; row < to; row++) {
            if (inTile(raw, row)) {
                for (Accumulator partial : partials) {
                    partial.absorb(raw.columns(row), raw.local(row));
                }
            }
        }
    }

    private boolean inTile(RawEvents raw, int row) {
        return !raw.standsAlone(row) && !isLate(raw, row);
    }

    /** Whether a window can span the event's hour whole before the event is known. */
    private boolean isLate(RawEvents raw, int row) {
        long end = (widths.hour(raw.time(row)) + 1) * widths.hourMs();
        return !raw.standsAlone(row) && raw.available(row) > end - 1 + leastDelay;
    }

    private void states(Accumulator[] partials) throws IOException {
        out.array(partials.length);
        for (Accumulator partial : partials) {
            partial.pack(out);
        }
    }

    /**
     * The first time, how much later each event was, keys, how much later than it was each could be
     * known if any was, and columns.
     */
    private byte[] block(RawEvents raw, int[] rows) throws IOException {
        order(raw, rows);
        out.array(2);
        out.integer(ENCODING_VERSION);
        out.array(5);
        long base = rows.length == 0 ? 0 : raw.time(rows[0]);
        long[] offsets = new long[rows.length];
        long[] delays = new long[rows.length];
        boolean later = false;
        for (int at = 0; at < rows.length; at++) {
            long time = raw.time(rows[at]);
            offsets[at] = time - base;
            delays[at] = raw.available(rows[at]) - time;
            later |= delays[at] != 0;
        }
        out.integer(base);
        out.binary(PackedNumbers.integers(offsets));
        out.array(rows.length);
        for (int row : rows) {
            out.binary(raw.dedup(row));
        }
        if (later) {
            out.binary(PackedNumbers.integers(delays));
        } else {
            out.value(null);
        }
        out.array(columns);
        for (int column = 0; column < columns; column++) {
            column(raw, rows, column);
        }
        return out.bytes();
    }

    private void column(RawEvents raw, int[] rows, int column) throws IOException {
        Object[] values = new Object[rows.length];
        for (int at = 0; at < rows.length; at++) {
            values[at] = raw.value(column, rows[at]);
        }
        byte[] packed = PackedNumbers.column(values);
        if (packed != null) {
            out.binary(packed);
            return;
        }
        out.array(values.length);
        for (Object value : values) {
            out.value(value);
        }
    }

    /** Puts rows of the same time in the order of their keys: among chunks they may be in another. */
    private static void order(RawEvents raw, int[] rows) {
        for (int i = 1; i < rows.length; i++) {
            if (compare(raw, rows[i - 1], rows[i]) > 0) {
                int[] ordered =
                        IntStream.of(rows)
                                .boxed()
                                .sorted((left, right) -> compare(raw, left, right))
                                .mapToInt(Integer::intValue)
                                .toArray();
                System.arraycopy(ordered, 0, rows, 0, rows.length);
                return;
            }
        }
    }

    private static int compare(RawEvents raw, int left, int right) {
        int order = Long.compare(raw.time(left), raw.time(right));
        return order == 0 ? Arrays.compareUnsigned(raw.dedup(left), raw.dedup(right)) : order;
    }
}
