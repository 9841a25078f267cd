package io.headrace.operator.state;

/**
 * What a stage keeps for an entity between its events: few bytes, and never changed.
 *
 * <p>A heap full of them has few objects to look through, and a checkpoint writes them as they are
 * while their entities go on.
 *
 * @param layout how the state is laid out
 * @param bytes the state
 */
public record PackedState(StageLayout layout, byte[] bytes) {}
