package io.headrace.operator.stream;

import java.io.Serializable;

/**
 * Where decisions are written, by one deployment at a time.
 *
 * @param name what deployments that write to it announce their start by
 * @param ending what the names of its topics end with; empty for those that everybody reads
 * @param sinceMs where the state that a deployment begins with doesn't tell: all that others have
 *     decided of what it meets was written since then, ms UTC
 */
public record DecisionLog(String name, String ending, long sinceMs) implements Serializable {
    /** Whether everybody reads it, and alerts are told. */
    boolean isLive() {
        return ending.isEmpty();
    }
}
