package io.headrace.operator.plan;

/** A window: which event times a feature looks at; sizes are in ms, 0 where there is none. */
public record WindowPlan(Kind kind, long sizeMs, long hopMs, long delayMs, long gapMs) {

    /** How a window moves. */
    public enum Kind {
        SLIDING,
        TUMBLING,
        SESSION,
        UNBOUNDED
    }
}
