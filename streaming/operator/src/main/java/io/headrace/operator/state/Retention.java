package io.headrace.operator.state;

import io.headrace.operator.aggregate.Accumulator;
import io.headrace.operator.aggregate.Accumulators;
import io.headrace.operator.plan.ViewPlan;
import io.headrace.operator.plan.WindowPlan;
import java.util.List;

/**
 * What an entity's state can do without.
 *
 * <p>Values are asked for from the state's clock less the lateness on. An event that no window can
 * reach from there is dropped; events that no window can tell apart are folded into one tile.
 */
final class Retention {
    static final int LEAST_TO_FOLD = 16;

    private final ViewPlan view;
    private final long lateness;
    private final TileWidths widths;
    private final List<WindowPlan> windows;
    private final boolean foldable;
    private final long greatestGap;
    private final long reach;

    Retention(ViewPlan view, long lateness, TileWidths widths) {
        this.view = view;
        this.lateness = lateness;
        this.widths = widths;
        windows = view.features().stream().map(feature -> feature.window()).distinct().toList();
        foldable =
                windows.stream()
                        .anyMatch(w -> w.kind() != WindowPlan.Kind.SLIDING || w.hopMs() > 1);
        greatestGap =
                windows.stream()
                        .filter(w -> w.kind() == WindowPlan.Kind.SESSION)
                        .mapToLong(WindowPlan::gapMs)
                        .max()
                        .orElse(0);
        reach = windows.stream().mapToLong(Retention::reach).max().orElse(0);
    }

    /** The earliest time at which the state can be asked. */
    long earliest(ViewState state) {
        return Math.max(state.clock - lateness, state.expiredTo);
    }

    /** From when on no window reaches what the state holds; the greatest long for never. */
    long emptyFrom(ViewState state) {
        if (reach == Long.MAX_VALUE) {
            return Long.MAX_VALUE;
        }
        return state.clock + reach;
    }

    /**
     * Whether of each time that can be asked for all of its range is held, for ranges of so many ms
     * since 1970.
     */
    boolean holdsWhole(long width) {
        return windows.stream().anyMatch(window -> holdsWhole(window, width));
    }

    // One window is enough: nothing is dropped that any of them reaches. Where there are sessions,
    // what is held begins a gap after what was dropped.
    private boolean holdsWhole(WindowPlan window, long width) {
        long back = window.delayMs() - greatestGap;
        return switch (window.kind()) {
            case SLIDING -> back + window.sizeMs() >= width;
            case TUMBLING ->
                    back >= width || greatestGap == 0 && window.sizeMs() % width == 0;
            case SESSION -> back + window.gapMs() >= width;
            case UNBOUNDED -> true;
        };
    }

    /** Lets go of all events, which no window reaches any more from a time on. */
    void expire(ViewState state) {
        state.expiredTo = emptyFrom(state);
        long from = state.clock + greatestGap + 1;
        if (needsMinute(state, state.clock, from, state.raw.size())) {
            from = widths.minuteEnd(state.clock);
        }
        state.heldFrom = Math.max(state.heldFrom, from);
        state.raw.clear();
        state.folded.clear();
        state.foldAt = LEAST_TO_FOLD;
    }

    /** Whether any window at a time can hold an event of another time. */
    boolean reaches(ViewState state, long time, long other) {
        return windows.stream().anyMatch(window -> since(window, state, time) <= other);
    }

    /** The earliest event time that can be inside a window at a time. */
    static long since(WindowPlan window, ViewState state, long time) {
        return switch (window.kind()) {
            case SLIDING, TUMBLING -> WindowSpan.start(window, time);
            case SESSION -> state.heldFrom;
            case UNBOUNDED -> ViewState.NO_CLOCK;
        };
    }

    private static long reach(WindowPlan window) {
        return switch (window.kind()) {
            case SLIDING -> window.sizeMs() + window.hopMs() + window.delayMs();
            case TUMBLING -> window.sizeMs() + window.delayMs();
            case SESSION -> window.gapMs() + window.delayMs() + 1;
            case UNBOUNDED -> Long.MAX_VALUE;
        };
    }

    /** Drops and folds what it can. */
    void apply(ViewState state) {
        if (state.clock == ViewState.NO_CLOCK) {
            return;
        }
        long earliest = earliest(state);
        drop(state, earliest);
        if (foldable && state.raw.size() >= state.foldAt) {
            fold(state, earliest);
            state.foldAt = Math.max(LEAST_TO_FOLD, 2 * state.raw.size());
        }
    }

    private void drop(ViewState state, long earliest) {
        long horizon = Long.MAX_VALUE;
        for (WindowPlan window : windows) {
            horizon = Math.min(horizon, horizon(window, earliest));
        }
        while (true) {
            FoldedTile tile = state.folded.isEmpty() ? null : state.folded.get(0);
            boolean raw =
                    state.raw.size() > 0 && (tile == null || state.raw.oldest() < tile.first);
            if (!raw && tile == null) {
                return;
            }
            long last = raw ? state.raw.lastOfOldest() : tile.last;
            if (last >= horizon || !isolated(state, raw, last)) {
                return;
            }
            long from = last + greatestGap + 1;
            if (raw && needsMinute(state, last, from, state.raw.oldestEvents())) {
                from = widths.minuteEnd(last);
                if (from > horizon) {
                    return;
                }
            }
            if (raw) {
                state.raw.removeOldest();
            } else {
                state.folded.remove(0);
            }
            state.heldFrom = Math.max(state.heldFrom, from);
        }
    }

    /**
     * Whether events that stand alone are lost when what is before a row, whose last event is of some
     * time, is let go: if others of its minute came from a time on, they would be written without.
     */
    private boolean needsMinute(ViewState state, long last, long from, int before) {
        return from < widths.minuteEnd(last)
                && state.raw.anyAlone(widths.minute(last) * widths.minuteMs(), before);
    }

    /** Before which event time nothing can be inside a window any more. */
    private static long horizon(WindowPlan window, long earliest) {
        if (window.kind() == WindowPlan.Kind.SESSION) {
            return earliest - window.delayMs() - window.gapMs();
        }
        return WindowSpan.start(window, earliest);
    }

    /** Whether the oldest thing that is kept can't be joined to a later one by any session. */
    private boolean isolated(ViewState state, boolean raw, long last) {
        if (greatestGap == 0) {
            return true;
        }
        long next = Long.MAX_VALUE;
        int row = raw ? state.raw.oldestEvents() : 0;
        if (state.raw.size() > row) {
            next = state.raw.time(row);
        }
        int place = raw ? 0 : 1;
        if (state.folded.size() > place) {
            next = Math.min(next, state.folded.get(place).first);
        }
        return next == Long.MAX_VALUE || next - last > greatestGap;
    }

    /** Folds whole days only: an open one's events are needed for its tile in the online store. */
    private void fold(ViewState state, long earliest) {
        long end = widths.day(earliest) * widths.dayMs();
        int row = 0;
        while (row < state.raw.size() && state.raw.time(row) < end) {
            long time = state.raw.time(row);
            if (state.raw.standsAlone(row)
                    || state.raw.available(row) > earliest
                    || !together(time, time, 0, earliest)) {
                row++;
                continue;
            }
            absorb(state, row, earliest);
            state.raw.remove(row);
            state.foldedTo = end;
        }
    }

    private void absorb(ViewState state, int row, long earliest) {
        long time = state.raw.time(row);
        int place = state.folded.size();
        while (place > 0 && state.folded.get(place - 1).first > time) {
            place--;
        }
        FoldedTile before = place > 0 ? state.folded.get(place - 1) : null;
        FoldedTile after = place < state.folded.size() ? state.folded.get(place) : null;
        if (before != null && together(before.first, Math.max(before.last, time), time - before.last, earliest)) {
            add(state, before, row);
            before.last = Math.max(before.last, time);
            if (after != null && together(before.first, after.last, after.first - before.last, earliest)) {
                merge(before, after);
                state.folded.remove(place);
            }
        } else if (after != null && together(time, after.last, after.first - time, earliest)) {
            add(state, after, row);
            after.first = time;
        } else {
            FoldedTile tile = new FoldedTile(time, time, Accumulators.of(view));
            add(state, tile, row);
            state.folded.add(place, tile);
        }
    }

    private static void add(ViewState state, FoldedTile tile, int row) {
        for (Accumulator partial : tile.partials) {
            partial.absorb(state.raw.columns(row), state.raw.local(row));
        }
    }

    private static void merge(FoldedTile left, FoldedTile right) {
        for (int i = 0; i < left.partials.length; i++) {
            left.partials[i].merge(right.partials[i]);
        }
        left.last = Math.max(left.last, right.last);
    }

    /**
     * Whether no window at any time from `earliest` on can part two neighbours.
     *
     * @param first the first time of the earlier one
     * @param last the last time of the later one
     * @param distance the time between them; not above 0 where one lies within the other
     */
    private boolean together(long first, long last, long distance, long earliest) {
        for (WindowPlan window : windows) {
            long end = earliest - window.delayMs();
            boolean one =
                    switch (window.kind()) {
                        case UNBOUNDED -> last < end;
                        case SESSION -> last < end && distance <= window.gapMs();
                        case TUMBLING ->
                                last < horizon(window, earliest)
                                        || last < end && sameTile(first, last, window.sizeMs());
                        case SLIDING ->
                                last < horizon(window, earliest)
                                        || window.hopMs() > 1
                                                && last < earliest
                                                && sameTile(first, last, window.hopMs());
                    };
            if (!one) {
                return false;
            }
        }
        return true;
    }

    private static boolean sameTile(long first, long last, long step) {
        return Math.floorDiv(first, step) == Math.floorDiv(last, step);
    }
}
