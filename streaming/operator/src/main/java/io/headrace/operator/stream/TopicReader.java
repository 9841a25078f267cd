package io.headrace.operator.stream;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.PartitionInfo;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.TopicPartition;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.errors.TimeoutException;

/** Reads what is committed in parts of topics, and tells where they end. */
final class TopicReader implements AutoCloseable {
    private static final Duration POLL = Duration.ofMillis(200);
    private static final long PATIENCE_NANOS = Duration.ofSeconds(30).toNanos();

    private final KafkaConsumer<byte[], byte[]> consumer;
    private final Map<String, List<TopicPartition>> partitions = new HashMap<>();

    TopicReader(Deployment deployment) {
        consumer = new KafkaConsumer<>(deployment.consumer());
    }

    /** By partition, the offset before which everything is committed or aborted for good. */
    Map<TopicPartition, Long> ends(String... topics) {
        List<TopicPartition> all = new ArrayList<>();
        for (String topic : topics) {
            all.addAll(partitions.computeIfAbsent(topic, this::find));
        }
        return consumer.endOffsets(all);
    }

    /** By partition, the first record since a time, ms UTC; of 0 the beginning. */
    Map<TopicPartition, Long> since(long timeMs, Set<TopicPartition> of) {
        Map<TopicPartition, Long> found = new HashMap<>();
        if (timeMs <= 0) {
            return found;
        }
        Map<TopicPartition, Long> times = new HashMap<>();
        of.forEach(partition -> times.put(partition, timeMs));
        Map<TopicPartition, Long> ends = consumer.endOffsets(of);
        consumer.offsetsForTimes(times)
                .forEach(
                        (partition, at) ->
                                found.put(
                                        partition, at == null ? ends.get(partition) : at.offset()));
        return found;
    }

    private List<TopicPartition> find(String topic) {
        List<PartitionInfo> found = consumer.partitionsFor(topic);
        if (found == null || found.isEmpty()) {
            throw new IllegalStateException("the broker has no topic " + topic);
        }
        return found.stream().map(p -> new TopicPartition(topic, p.partition())).toList();
    }

    /**
     * Hands over the committed records of some partitions.
     *
     * @param from where to begin; a partition that isn't named is read from its beginning
     * @param until where to end, for every partition to read
     * @throws TimeoutException when the broker brings nothing new for half a minute
     */
    void read(
            Map<TopicPartition, Long> from,
            Map<TopicPartition, Long> until,
            Consumer<ConsumerRecord<byte[], byte[]>> reader) {
        Map<TopicPartition, Long> left = new HashMap<>(until);
        left.entrySet().removeIf(end -> end.getValue() <= from.getOrDefault(end.getKey(), 0L));
        consumer.assign(left.keySet());
        for (TopicPartition partition : left.keySet()) {
            consumer.seek(partition, from.getOrDefault(partition, 0L));
        }
        long progress = System.nanoTime();
        while (!left.isEmpty()) {
            Map<TopicPartition, Long> before = positions(left.keySet());
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                TopicPartition of = new TopicPartition(record.topic(), record.partition());
                if (record.offset() < until.get(of)) {
                    reader.accept(record);
                }
            }
            // What was aborted is passed without being handed over.
            Map<TopicPartition, Long> reached = positions(left.keySet());
            left.entrySet().removeIf(end -> reached.get(end.getKey()) >= end.getValue());
            if (!reached.equals(before)) {
                progress = System.nanoTime();
            } else if (System.nanoTime() - progress > PATIENCE_NANOS) {
                throw new TimeoutException("the broker brings nothing of " + left);
            }
        }
        consumer.assign(List.of());
    }

    private Map<TopicPartition, Long> positions(Set<TopicPartition> of) {
        Map<TopicPartition, Long> found = new HashMap<>();
        for (TopicPartition partition : of) {
            found.put(partition, consumer.position(partition));
        }
        return found;
    }

    @Override
    public void close() {
        consumer.close();
    }
}
