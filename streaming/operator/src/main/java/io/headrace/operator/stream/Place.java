package io.headrace.operator.stream;

/**
 * Where an event was read: what it is known by from one run to the next.
 *
 * @param partition of the topic of its source
 * @param offset in that partition
 */
record Place(int partition, long offset) {}
