"""Other programs' numbers, to the digit, from the same moments: named parity modes.

For a company that moves over, and for whoever asks why two programs differ. Nothing here is a
default: where a program's choice is not ours, the docstring says what it does and what is better.

| module | as | what |
|---|---|---|
| `growthbook`, `growthbook_readings` | GrowthBook | means, proportions, ratios, CUPED |
| `growthbook_strata` | | post-stratification |
| `growthbook_quantiles` | | quantiles, clustered or not |
| `tea_tasting`, `tea_tasting_counts` | tea-tasting | means, ratios, CUPED; proportions, ranks |
| `spotify` | Spotify Confidence 3.0 | z, t and chi-squared tests, regression, adjusted bounds |
| `statsig` | Statsig | the "mSPRT" boundary as documented |
| `confseq` | confseq | 0/1 and quantile confidence sequences |

Moments from published aggregates: `aggregates.moments_of_sums`, `moments_of_variances`.
"""
