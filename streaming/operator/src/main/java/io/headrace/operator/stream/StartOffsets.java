package io.headrace.operator.stream;

import java.util.HashMap;
import java.util.Map;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.TopicPartition;

/** Where a source begins that no state tells it of, collected number by number from Python. */
public final class StartOffsets {
    private final Map<TopicPartition, Long> offsets = new HashMap<>();

    /** The offset that a partition begins with; one that isn't named begins with its oldest record. */
    public void add(String topic, int partition, long offset) {
        offsets.put(new TopicPartition(topic, partition), offset);
    }

    /** What the builder of a source takes. */
    public OffsetsInitializer initializer() {
        return offsets.isEmpty() ? OffsetsInitializer.earliest() : OffsetsInitializer.offsets(offsets);
    }
}
