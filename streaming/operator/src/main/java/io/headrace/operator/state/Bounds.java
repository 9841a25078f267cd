package io.headrace.operator.state;

import java.io.Serializable;

/**
 * What bounds the state of one entity.
 *
 * @param latenessMs how long before the state's clock values can still be asked for
 * @param dedupMs how long before an entity's newest event duplicates are recognised
 * @param mostEvents how many single events an entity may have in a view, and how many keys of
 *     events are remembered for it
 */
public record Bounds(long latenessMs, long dedupMs, int mostEvents) implements Serializable {}
