package io.headrace.operator.stream;

import java.io.Serializable;
import java.util.Properties;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.serialization.ByteArraySerializer;

/** Which deployment of which project a job is, and how its clients reach the broker. */
public final class Deployment implements Serializable {
    private static final long serialVersionUID = 1L;
    private static final String PATIENCE_MS = "30000";

    private final String project;
    private final DecisionLog log;
    private final long epoch;
    private final Properties kafka;

    /**
     * A deployment.
     *
     * @param log where its decisions go
     * @param epoch its number; rises with every deployment, whoever makes it
     * @param kafka the properties of clients; they may be secret and are never shown
     */
    public Deployment(String project, DecisionLog log, long epoch, Properties kafka) {
        this.project = project;
        this.log = log;
        this.epoch = epoch;
        this.kafka = kafka;
    }

    /** Name of the project. */
    String project() {
        return project;
    }

    /** Where its decisions go. */
    DecisionLog log() {
        return log;
    }

    /** Number of the deployment. */
    long epoch() {
        return epoch;
    }

    /** What a client that sends a record is told. */
    Properties producer() {
        Properties properties = client();
        String bytes = ByteArraySerializer.class.getName();
        properties.setProperty(ProducerConfig.KEY_SERIALIZER_CLASS_CONFIG, bytes);
        properties.setProperty(ProducerConfig.VALUE_SERIALIZER_CLASS_CONFIG, bytes);
        return properties;
    }

    /** What an administrating client is told. */
    Properties client() {
        Properties properties = new Properties();
        properties.putAll(kafka);
        properties.setProperty("default.api.timeout.ms", PATIENCE_MS);
        return properties;
    }

    /** What a client that reads committed records of given partitions is told. */
    Properties consumer() {
        Properties properties = client();
        properties.setProperty(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed");
        properties.setProperty(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, "false");
        // Records that were deleted for their age need not be known.
        properties.setProperty(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        String bytes = ByteArrayDeserializer.class.getName();
        properties.setProperty(ConsumerConfig.KEY_DESERIALIZER_CLASS_CONFIG, bytes);
        properties.setProperty(ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG, bytes);
        return properties;
    }
}
