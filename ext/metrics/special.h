/* The distributions that tests of hypotheses need, to about 1e-13 relative. */
#ifndef REC_SPECIAL_H
#define REC_SPECIAL_H

/* P(Z > z), standard normal. */
double normal_upper(double z);
/* z with P(Z <= z) = p, 0 < p < 1 (Acklam's approximation, one step of Halley's method). */
double normal_quantile(double p);
/* P(|T| > |t|), Student's t with df > 0 degrees of freedom. */
double student_two_sided(double t, double df);
/* P(X > x), chi-square with df > 0 degrees of freedom. */
double chi_square_upper(double x, double df);
/* P(K > x), Kolmogorov's limiting distribution: 2 sum over j of (-1)^(j-1) e^(-2 j^2 x^2). */
double kolmogorov_upper(double x);

#endif
