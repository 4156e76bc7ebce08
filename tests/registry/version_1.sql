-- A registry as the first schema wrote it: one experiment, sealed, walked to its decision, amended once.
-- Made by iterdump() of the SQLite file that the program of schema 1 (revision d788c31) wrote.
BEGIN TRANSACTION;
CREATE TABLE amendments (
	seq INTEGER NOT NULL, 
	experiment TEXT NOT NULL, 
	change TEXT NOT NULL, 
	PRIMARY KEY (seq), 
	FOREIGN KEY(seq) REFERENCES audit (seq), 
	FOREIGN KEY(experiment) REFERENCES experiments (id)
)
 STRICT

;
INSERT INTO "amendments" VALUES(4,'hillstrom_email','window 28 days');
CREATE TABLE artefacts (
	experiment TEXT NOT NULL, 
	name TEXT NOT NULL, 
	path TEXT NOT NULL, 
	sha256 TEXT NOT NULL, 
	fixed_by TEXT NOT NULL, 
	at TEXT NOT NULL, 
	PRIMARY KEY (experiment, name), 
	FOREIGN KEY(experiment) REFERENCES experiments (id)
)
 STRICT

;
INSERT INTO "artefacts" VALUES('hillstrom_email','file','file.txt','ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73','assigned','2026-01-01T00:04:00.000000+00:00');
CREATE TABLE audit (
	seq INTEGER NOT NULL, 
	experiment TEXT NOT NULL, 
	from_state TEXT NOT NULL, 
	to_state TEXT NOT NULL, 
	action TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	who TEXT NOT NULL, 
	why TEXT NOT NULL, 
	at TEXT NOT NULL, 
	payload TEXT NOT NULL, 
	previous_hash TEXT NOT NULL, 
	hash TEXT NOT NULL, 
	PRIMARY KEY (seq), 
	FOREIGN KEY(experiment) REFERENCES experiments (id), 
	UNIQUE (hash)
)
 STRICT

;
INSERT INTO "audit" VALUES(1,'hillstrom_email','draft','draft','add','1ca88163697f7b77df0c2179285e7b6c2a9b8b8ec9bddcee38b94abe1610e2da','ada','agreed','2026-01-01T00:01:00.000000+00:00','{}','0000000000000000000000000000000000000000000000000000000000000000','67e6afc97670d1ddbb6ea53c685c3767d57ff4129482198be796857401043692');
INSERT INTO "audit" VALUES(2,'hillstrom_email','draft','sealed','seal','1ca88163697f7b77df0c2179285e7b6c2a9b8b8ec9bddcee38b94abe1610e2da','ada','agreed','2026-01-01T00:02:00.000000+00:00','{
 "design_sha256": "c90553941efa94ac3fa39dd81ca2752c199aba633f005020a24319cc8738464d"
}','67e6afc97670d1ddbb6ea53c685c3767d57ff4129482198be796857401043692','1c9c4203f57e865848855c7adae1057aa11aca373147c5464e8b60cbd92f9e8b');
INSERT INTO "audit" VALUES(3,'hillstrom_email','sealed','assigned','advance','1ca88163697f7b77df0c2179285e7b6c2a9b8b8ec9bddcee38b94abe1610e2da','ada','','2026-01-01T00:03:00.000000+00:00','{
 "artefacts": {
  "file": "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
 }
}','1c9c4203f57e865848855c7adae1057aa11aca373147c5464e8b60cbd92f9e8b','d96a36d52f359868618b65c2e6a52a1a2772539fa66c2e5cfd222f2675f4cde0');
INSERT INTO "audit" VALUES(4,'hillstrom_email','assigned','assigned','amend','1ca88163697f7b77df0c2179285e7b6c2a9b8b8ec9bddcee38b94abe1610e2da','ada','late data','2026-01-01T00:05:00.000000+00:00','{
 "change": "window 28 days"
}','d96a36d52f359868618b65c2e6a52a1a2772539fa66c2e5cfd222f2675f4cde0','7818d92e0df7eea1cd3d510af8faf87400a26bfc2351cf7b31edee0564eb73b3');
INSERT INTO "audit" VALUES(5,'hillstrom_email','assigned','live','advance','1ca88163697f7b77df0c2179285e7b6c2a9b8b8ec9bddcee38b94abe1610e2da','ada','','2026-01-01T00:06:00.000000+00:00','{
 "artefacts": {}
}','7818d92e0df7eea1cd3d510af8faf87400a26bfc2351cf7b31edee0564eb73b3','55568bad7b1e10c3c037ec1d3226021f417ede0d686b9029844286b6d3731667');
INSERT INTO "audit" VALUES(6,'hillstrom_email','live','maturing','advance','1ca88163697f7b77df0c2179285e7b6c2a9b8b8ec9bddcee38b94abe1610e2da','ada','','2026-01-01T00:07:00.000000+00:00','{
 "artefacts": {}
}','55568bad7b1e10c3c037ec1d3226021f417ede0d686b9029844286b6d3731667','c733cfd2983478b3eba35a56b7510f197798e9437e5d16b007c919bef80bfaad');
INSERT INTO "audit" VALUES(7,'hillstrom_email','maturing','read','advance','1ca88163697f7b77df0c2179285e7b6c2a9b8b8ec9bddcee38b94abe1610e2da','ada','','2026-01-01T00:08:00.000000+00:00','{
 "artefacts": {}
}','c733cfd2983478b3eba35a56b7510f197798e9437e5d16b007c919bef80bfaad','e1c242eb7b83b8c56c0464c9c02e3845c36e0c674523a0a23156eab0f568cba4');
INSERT INTO "audit" VALUES(8,'hillstrom_email','read','decided','decide','1ca88163697f7b77df0c2179285e7b6c2a9b8b8ec9bddcee38b94abe1610e2da','bob','not proven','2026-01-01T00:09:00.000000+00:00','{
 "decision": "retest"
}','e1c242eb7b83b8c56c0464c9c02e3845c36e0c674523a0a23156eab0f568cba4','854dcb8def5c6a4ca0e0c1de5146ce6e2efe248e388eb0c5c52fe1525b6ce1bc');
CREATE TABLE audit_head (
	id INTEGER NOT NULL, 
	seq INTEGER NOT NULL, 
	hash TEXT NOT NULL, 
	PRIMARY KEY (id)
)
 STRICT

;
INSERT INTO "audit_head" VALUES(1,8,'854dcb8def5c6a4ca0e0c1de5146ce6e2efe248e388eb0c5c52fe1525b6ce1bc');
CREATE TABLE experiments (
	id TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	definition TEXT NOT NULL, 
	state TEXT NOT NULL, 
	created_at TEXT NOT NULL, 
	PRIMARY KEY (id)
)
 STRICT

;
INSERT INTO "experiments" VALUES('hillstrom_email','1ca88163697f7b77df0c2179285e7b6c2a9b8b8ec9bddcee38b94abe1610e2da','{
 "analysis": {
  "confidence": 0.95,
  "correction": "holm",
  "decision_rule": "Send the e-mail with the highest proven spend per customer; target customers only if that is proven better than sending to everyone.",
  "looks_days": [
   14
  ]
 },
 "arms": [
  {
   "channel": null,
   "name": "control",
   "offer": null,
   "redemption_cost": 0.0,
   "share": "1/3",
   "unit_cost": 0.0
  },
  {
   "channel": "email",
   "name": "mens_email",
   "offer": "mens",
   "redemption_cost": 0.0,
   "share": "1/3",
   "unit_cost": 0.0
  },
  {
   "channel": "email",
   "name": "womens_email",
   "offer": "womens",
   "redemption_cost": 0.0,
   "share": "1/3",
   "unit_cost": 0.0
  }
 ],
 "audience": {
  "description": "Customers who last bought within twelve months",
  "where": [
   {
    "at_least": null,
    "at_most": 12.0,
    "column": "recency",
    "is_in": null
   }
  ]
 },
 "cluster": null,
 "hypothesis": "An e-mail brings customers of the last twelve months back to the site, and which merchandise it shows decides who buys.",
 "id": "hillstrom_email",
 "kind": "ab_test",
 "metrics": {
  "guardrails": [],
  "primary": {
   "expected_mean": 0.65,
   "expected_std_dev": 11.6,
   "margin": null,
   "metric": {
    "cap": null,
    "column": "spend",
    "covariate": null,
    "direction": "up",
    "kind": "mean",
    "name": "spend_14d",
    "owner": "customer-analytics",
    "title": "Spend in the two weeks after the e-mail",
    "unit": "USD per customer",
    "version": 1,
    "window_days": 14
   },
   "minimum_effect": 0.5
  },
  "secondary": [
   {
    "expected_mean": 0.106,
    "expected_std_dev": null,
    "margin": null,
    "metric": {
     "cap": null,
     "column": "visit",
     "covariate": null,
     "direction": "up",
     "kind": "proportion",
     "name": "visit_14d",
     "owner": "customer-analytics",
     "title": "Visited the shop''s site in the two weeks after the e-mail",
     "unit": "share of customers",
     "version": 1,
     "window_days": 14
    },
    "minimum_effect": 0.1
   },
   {
    "expected_mean": 0.0057,
    "expected_std_dev": null,
    "margin": null,
    "metric": {
     "cap": null,
     "column": "conversion",
     "covariate": null,
     "direction": "up",
     "kind": "proportion",
     "name": "conversion_14d",
     "owner": "customer-analytics",
     "title": "Bought in the two weeks after the e-mail",
     "unit": "share of customers",
     "version": 1,
     "window_days": 14
    },
    "minimum_effect": 0.3
   }
  ]
 },
 "money": {
  "currency": "USD",
  "margin_rate": 1.0,
  "redemption": null,
  "value": "spend"
 },
 "objective": "grow_revenue_of_existing_customers",
 "owner": "customer-analytics",
 "parent": null,
 "schedule": {
  "response_days": 14,
  "starts_at": "2008-03-20T09:00:00",
  "timezone": "America/New_York"
 },
 "title": "Men''s or women''s merchandise in the e-mail?"
}','decided','2026-01-01T00:00:00.000000+00:00');
CREATE TABLE schema_version (
	version INTEGER NOT NULL, 
	PRIMARY KEY (version)
)
 STRICT

;
INSERT INTO "schema_version" VALUES(1);
CREATE INDEX ix_audit_experiment ON audit (experiment);
CREATE TRIGGER audit_update before update on audit begin select raise(abort, 'audit is append-only'); end;
CREATE TRIGGER audit_delete before delete on audit begin select raise(abort, 'audit is append-only'); end;
CREATE TRIGGER amendments_update before update on amendments begin select raise(abort, 'amendments is append-only'); end;
CREATE TRIGGER amendments_delete before delete on amendments begin select raise(abort, 'amendments is append-only'); end;
CREATE TRIGGER experiments_frozen before update of id, digest, definition on experiments when old.state <> 'draft' begin select raise(abort, 'a sealed definition is frozen'); end;
CREATE TRIGGER experiments_kept before delete on experiments begin select raise(abort, 'an experiment is never deleted'); end;
COMMIT;
