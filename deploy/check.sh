#!/bin/sh
# Checks what Prometheus and Alertmanager will read. Needs promtool and amtool (Debian: prometheus, prometheus-alertmanager).
set -eu
cd "$(dirname "$0")"
promtool check config prometheus/prometheus.yml
promtool check rules prometheus/rules/*.yaml
promtool test rules prometheus/tests/*.yaml
amtool check-config alertmanager/alertmanager.yml
