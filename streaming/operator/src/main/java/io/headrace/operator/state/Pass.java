package io.headrace.operator.state;

import io.headrace.operator.BadRecord;
import io.headrace.operator.aggregate.Accumulator;
import io.headrace.operator.aggregate.Accumulators;
import io.headrace.operator.plan.FeaturePlan;
import io.headrace.operator.plan.ViewPlan;
import io.headrace.operator.plan.WindowPlan;
import java.util.Arrays;
import java.util.List;

/**
 * Values of all windows that end at the same event time, in one walk from the newest event back.
 *
 * <p>Each of these windows holds the newest events up to some age, so it is closed for good, and its
 * features are read off the partials, when the walk leaves it.
 */
final class Pass {
    private final boolean excludeCurrent;
    private final WindowPlan[] windows;
    private final FeaturePlan[][] features;
    private final int[][] places;
    private final Accumulator[] partials;
    private final boolean[][] needs;

    // Of one walk.
    private final boolean[] open;
    private final long[] starts;
    private final int[] readers;
    private int left;

    /** The pass for features at the given places of a view, whose windows end together. */
    Pass(ViewPlan view, List<Integer> of) {
        excludeCurrent = view.features().get(of.get(0)).excludeCurrent();
        windows =
                of.stream()
                        .map(place -> view.features().get(place).window())
                        .distinct()
                        .toArray(WindowPlan[]::new);
        features = new FeaturePlan[windows.length][];
        places = new int[windows.length][];
        needs = new boolean[windows.length][view.partials().size()];
        for (int w = 0; w < windows.length; w++) {
            WindowPlan window = windows[w];
            places[w] =
                    of.stream()
                            .filter(place -> view.features().get(place).window().equals(window))
                            .mapToInt(place -> place)
                            .toArray();
            features[w] =
                    Arrays.stream(places[w])
                            .mapToObj(view.features()::get)
                            .toArray(FeaturePlan[]::new);
            for (FeaturePlan feature : features[w]) {
                needs[w][feature.partial()] = true;
            }
        }
        partials = Accumulators.of(view);
        open = new boolean[windows.length];
        starts = new long[windows.length];
        readers = new int[partials.length];
    }

    /** Puts the values at a time into their places. */
    void evaluate(ViewState state, long time, byte[] current, Object[] values) throws BadRecord {
        RawEvents raw = state.raw;
        long end = WindowSpan.end(windows[0], time);
        begin(time);
        left = windows.length;
        long edge = end;
        int row = raw.firstAtOrAfter(end + 1) - 1;
        int tile = state.folded.size() - 1;
        while (left > 0) {
            while (tile >= 0 && state.folded.get(tile).first > end) {
                tile--;
            }
            if (row < 0 && tile < 0) {
                break;
            }
            // Whole before its events are looked at: they are only unpacked where they have to be.
            Chunk chunk = raw.endingAt(row);
            if (chunk != null && mergesWhole(state, chunk, tile, edge, time, current, values)) {
                edge = Math.min(edge, chunk.first);
                row -= chunk.size;
                continue;
            }
            EventColumns events = row < 0 ? null : raw.columns(row);
            int local = row < 0 ? -1 : raw.local(row);
            FoldedTile folded = tile < 0 ? null : state.folded.get(tile);
            if (events == null || folded != null && events.time(local) < folded.first) {
                close(edge, folded.last, values);
                merge(folded.partials);
                edge = Math.min(edge, folded.first);
                tile--;
            } else {
                if (counts(events, local, time, current)) {
                    close(edge, events.time(local), values);
                    absorb(events, local);
                    edge = Math.min(edge, events.time(local));
                }
                row--;
            }
        }
        for (int w = 0; w < windows.length; w++) {
            if (open[w]) {
                finish(w, values);
            }
        }
    }

    private void begin(long time) {
        Arrays.fill(readers, 0);
        for (int w = 0; w < windows.length; w++) {
            open[w] = true;
            starts[w] = WindowSpan.start(windows[w], time);
            for (int p = 0; p < partials.length; p++) {
                if (needs[w][p]) {
                    readers[p]++;
                }
            }
        }
        for (Accumulator partial : partials) {
            partial.clear();
        }
    }

    private boolean counts(EventColumns events, int row, long time, byte[] current) {
        if (events.available(row) > time) {
            return false;
        }
        return !(excludeCurrent && current != null && Arrays.equals(current, events.dedup(row)));
    }

    private void absorb(EventColumns events, int row) {
        for (int p = 0; p < partials.length; p++) {
            if (readers[p] > 0) {
                partials[p].absorb(events, row);
            }
        }
    }

    private void merge(Accumulator[] others) {
        for (int p = 0; p < partials.length; p++) {
            if (readers[p] > 0) {
                partials[p].merge(others[p]);
            }
        }
    }

    /** Merges a chunk, unless it lies only partly in a window or has events that don't count. */
    private boolean mergesWhole(
            ViewState state,
            Chunk chunk,
            int tile,
            long edge,
            long time,
            byte[] current,
            Object[] values)
            throws BadRecord {
        boolean allCount =
                chunk.mostAvailable <= time
                        // The event being decided is of the time that is asked about.
                        && !(excludeCurrent && current != null && chunk.last >= time);
        if (!allCount || tile >= 0 && state.folded.get(tile).last >= chunk.first) {
            return false;
        }
        close(edge, chunk.last, values);
        for (int w = 0; w < windows.length; w++) {
            boolean partly =
                    windows[w].kind() == WindowPlan.Kind.SESSION || chunk.first < starts[w];
            if (open[w] && partly) {
                return false;
            }
        }
        if (left > 0) {
            merge(state.raw.partials(chunk));
        }
        return true;
    }

    /** Closes the windows that what comes next lies outside of. */
    private void close(long edge, long last, Object[] values) throws BadRecord {
        for (int w = 0; w < windows.length; w++) {
            if (!open[w]) {
                continue;
            }
            boolean outside =
                    windows[w].kind() == WindowPlan.Kind.SESSION
                            ? edge - last > windows[w].gapMs()
                            : last < starts[w];
            if (outside) {
                finish(w, values);
                left--;
            }
        }
    }

    private void finish(int w, Object[] values) throws BadRecord {
        open[w] = false;
        for (int i = 0; i < places[w].length; i++) {
            FeaturePlan feature = features[w][i];
            values[places[w][i]] = partials[feature.partial()].value(feature);
        }
        for (int p = 0; p < partials.length; p++) {
            if (needs[w][p]) {
                readers[p]--;
            }
        }
    }
}
