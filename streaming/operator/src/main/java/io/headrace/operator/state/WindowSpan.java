package io.headrace.operator.state;

import io.headrace.operator.plan.WindowPlan;

/** Which event times a window spans at a time; rounding is mathematical, before 1970 too. */
final class WindowSpan {
    static final long BEGINNING = Long.MIN_VALUE / 2;

    private WindowSpan() {}

    /** The last event time inside a window. */
    static long end(WindowPlan window, long time) {
        return floor(time - window.delayMs() + 1, coarseEnd(window)) - 1;
    }

    /** The step of a window's new edge: with a delay a hop makes it coarse. */
    static long coarseEnd(WindowPlan window) {
        return window.kind() == WindowPlan.Kind.SLIDING && window.delayMs() != 0
                ? window.hopMs()
                : 1;
    }

    /** The first event time inside a window; a session's depends on its events. */
    static long start(WindowPlan window, long time) {
        long end = time - window.delayMs();
        return switch (window.kind()) {
            case SLIDING -> floor(end - window.sizeMs() + 1, window.hopMs());
            case TUMBLING -> floor(end, window.sizeMs());
            case SESSION, UNBOUNDED -> BEGINNING;
        };
    }

    static long floor(long time, long step) {
        return step == 1 ? time : time - Math.floorMod(time, step);
    }
}
