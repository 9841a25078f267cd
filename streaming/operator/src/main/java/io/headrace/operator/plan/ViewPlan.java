package io.headrace.operator.plan;

import java.util.List;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;

/** A feature view: what it takes from its source, what it keeps and what it answers. */
public record ViewPlan(
        String name,
        int version,
        String fingerprint,
        String source,
        String joinKey,
        JsonNode filter,
        List<DerivedColumn> derived,
        List<ColumnRef> columns,
        List<PartialPlan> partials,
        List<FeaturePlan> features) {}
