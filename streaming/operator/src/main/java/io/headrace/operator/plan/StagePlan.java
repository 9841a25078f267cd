package io.headrace.operator.plan;

import java.util.List;

/** The views of one entity that a decision asks. */
public record StagePlan(String joinKey, List<String> views) {}
