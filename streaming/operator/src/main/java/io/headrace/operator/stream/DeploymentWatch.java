package io.headrace.operator.stream;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.TopicPartition;
import org.apache.flink.runtime.execution.SuppressRestartsException;

/**
 * Sees whether a newer deployment has started to write the same decisions: then this one has to end.
 *
 * <p>The topic of deployments numbers them by its offsets. A deployment announces in it that it
 * starts, before it looks at what others have done; one that was numbered and never came to start
 * supersedes nobody.
 */
final class DeploymentWatch {
    /** Where deployments are announced. */
    static final String TOPIC = "deployments";
    private static final TopicPartition PLACE = new TopicPartition(TOPIC, 0);

    /** For how long what was seen may be relied on where nothing is committed. */
    private static final long LEASE_MS = 1_000;

    private static final long LEASE_NANOS = TimeUnit.MILLISECONDS.toNanos(LEASE_MS);

    private final Deployment deployment;
    private final TopicReader reader;
    private final byte[] log;
    private long seen;
    private long checkedAt;

    DeploymentWatch(Deployment deployment, TopicReader reader) {
        this.deployment = deployment;
        this.reader = reader;
        log = deployment.log().name().getBytes(StandardCharsets.UTF_8);
        // Newer ones are numbered behind it.
        seen = deployment.epoch();
    }

    /**
     * Looks anew.
     *
     * @throws SuppressRestartsException if a newer one has started: the job ends for good
     */
    void check() {
        long now = System.nanoTime();
        take(reader.ends(TOPIC).get(PLACE), now);
    }

    private void take(long end, long now) {
        if (end > seen) {
            reader.read(Map.of(PLACE, seen), Map.of(PLACE, end), this::take);
            seen = end;
        }
        checkedAt = now;
    }

    private void take(ConsumerRecord<byte[], byte[]> record) {
        long started = Arrays.equals(log, record.key()) ? Started.read(record.value()) : 0;
        if (started > deployment.epoch()) {
            throw new SuppressRestartsException(
                    new IllegalStateException(
                            "deployment "
                                    + deployment.epoch()
                                    + " of "
                                    + deployment.log().name()
                                    + " is superseded by deployment "
                                    + started));
        }
    }

    /** Looks anew if that was long ago, and has it asked ahead before it is. */
    void checkNowAndThen(EndsAhead ahead) {
        long now = System.nanoTime();
        if (now - checkedAt > LEASE_NANOS / 4) {
            EndsAhead.Answer told = ahead.answer();
            if (told.askedAt() > checkedAt) {
                take(told.ends().get(PLACE), told.askedAt());
            }
            ahead.ask();
        }
        if (now - checkedAt > LEASE_NANOS) {
            check();
        }
    }

    /**
     * Announces that this one starts, and waits until whoever looks now and then has seen it.
     *
     * @param from the deployment whose state it goes on from; 0 if that is no deployment's
     */
    void announce(long from) throws ExecutionException, InterruptedException {
        byte[] value = Started.write(deployment.epoch(), from);
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(deployment.producer())) {
            producer.send(new ProducerRecord<>(TOPIC, log, value)).get();
        }
        Thread.sleep(LEASE_MS);
    }
}
